// What minifiers leave alone: "this.#name" stands a thousand times in a bundle, and is the same as "t.a" for whoever
// is inside the class. Private names become properties whose names esbuild may choose (mangleProps), and a method that
// says "this" often gets a local name for it. Tests run on the sources; the tests in the browser run on the bundles.
import { readFile } from "node:fs/promises";
import ts from "typescript";

/** Public properties that stand often, and that neither a browser, nor a notebook, nor Python knows by name. */
const OWN = [
  "addGroups",
  "boxes",
  "bringForward",
  "canRedo",
  "canUndo",
  "cancelDrag",
  "centre",
  "checkConnection",
  "clampZoom",
  "colours",
  "element",
  "facts",
  "holdSpace",
  "invalidate",
  "isSelected",
  "markDrawn",
  "nColumns",
  "pathQuery",
  "positionA",
  "positionB",
  "recolour",
  "rectangle",
  "refreshHeld",
  "renameGroup",
  "resetZoom",
  "selectable",
  "setHovered",
  "setLabel",
  "setMarked",
  "setShown",
  "showInGraph",
  "togglePin",
  "tokenA",
  "tokenB",
  "updateSteps",
];

/** Properties that esbuild may rename: private ones, and those above. */
export const PRIVATE = new RegExp(`^(\\$private_.*|${OWN.join("|")})$`);

const isOwner = (node) =>
  ts.isMethodDeclaration(node) ||
  ts.isAccessor(node) ||
  (ts.isConstructorDeclaration(node) && !node.parent.heritageClauses) ||
  (ts.isArrowFunction(node) && ts.isPropertyDeclaration(node.parent));

/** Return every "this" of a method, those in its arrow functions too. */
function usesOfThis(node, found = []) {
  ts.forEachChild(node, (child) => {
    if (child.kind === ts.SyntaxKind.ThisKeyword) found.push(child);
    else if (ts.isClassLike(child) || ts.isFunctionDeclaration(child) || ts.isFunctionExpression(child)) return;
    else if (ts.isMethodDeclaration(child) || ts.isAccessor(child)) return;
    else usesOfThis(child, found);
  });
  return found;
}

/** Return a source with shorter ways to say the same. */
export function shrink(text, path) {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.ES2022, true);
  const edits = [];
  const visit = (node) => {
    if (ts.isPrivateIdentifier(node)) {
      edits.push([node.getStart(source), node.getEnd(), `$private_${node.text.slice(1)}`]);
    }
    if (isOwner(node) && node.body && ts.isBlock(node.body)) {
      const found = usesOfThis(node.body);
      if (found.length > 3) {
        const start = node.body.getStart(source) + 1;
        edits.push([start, start, " const self = this;"]);
        for (const use of found) edits.push([use.getStart(source), use.getEnd(), "self"]);
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  edits.sort((a, b) => b[0] - a[0]);
  return edits.reduce((short, [from, to, by]) => short.slice(0, from) + by + short.slice(to), text);
}

export const plugin = {
  name: "shrink",
  setup(build) {
    build.onLoad({ filter: /\/src\/.*\.ts$/ }, async ({ path }) => ({
      contents: shrink(await readFile(path, "utf8"), path),
      loader: "ts",
    }));
  },
};
