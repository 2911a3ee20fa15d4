/** Showing a token so that a reader sees what it is, whatever it holds. */

const VISIBLE: Record<string, string> = {
  "\n": "↵",
  "\r": "␍",
  "\t": "⇥",
  "\u00a0": "⍽",
  "\u00ad": "[soft hyphen]",
  "\ufffd": "�",
};
// Characters that would be invisible, or that would turn the direction of the text around them.
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}\p{Cs}]/u;
const JOINERS = new Set(["\u200c", "\u200d"]);

/** Return a token's text with what cannot be seen written out; a space at either end is shown as "·". */
export function visible(token: string): string {
  if (token === "") return "∅";
  const shown = Array.from(token, (character) => {
    const known = VISIBLE[character];
    if (known !== undefined) return known;
    // Joiners hold emoji and scripts together; alone they are named like the rest.
    if (JOINERS.has(character) && token.length > 1) return character;
    if (!UNSEEN.test(character)) return character;
    return `[U+${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}]`;
  }).join("");
  return shown.replace(/^ +| +$/g, (spaces) => "·".repeat(spaces.length));
}

/** Return text cut to a number of characters (never inside one), with an ellipsis where something is missing. */
export function shorten(text: string, length: number): string {
  const characters = [...new Intl.Segmenter().segment(text)].map((part) => part.segment);
  return characters.length <= length ? text : `${characters.slice(0, length - 1).join("")}…`;
}

/** Keep text of either direction from reordering what stands around it, where no element can (a canvas, a title). */
export function isolate(text: string): string {
  return `\u2068${text}\u2069`;
}
