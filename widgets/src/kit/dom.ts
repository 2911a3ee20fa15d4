/** Building elements. Text goes in as text: nothing here can make HTML out of a string. */

type Child = Node | string | number | null | undefined | false;
type Props = Record<string, string | number | boolean | EventListener | undefined>;

/**
 * Return a new element; props that begin with "on" are listeners, true is an empty attribute, false none. `testid` is
 * its name for tests, and a button submits nothing. Text in place of the props is the class.
 */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Props | string = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  if (tag === "button") element.setAttribute("type", "button");
  for (const [name, value] of Object.entries(typeof props === "string" ? { class: props } : props)) {
    if (value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else element.setAttribute(name === "testid" ? "data-testid" : name, value === true ? "" : String(value));
  }
  fill(element, ...children);
  return element;
}

/** Replace what an element holds. */
export function fill(element: Element, ...children: Child[]): void {
  element.replaceChildren(
    ...children
      .filter((child) => child !== null && child !== undefined && child !== false)
      .map((child) => (child instanceof Node ? child : document.createTextNode(String(child)))),
  );
}

let unique = 0;

/** Return an id that no other view on the page has: the same widget may be shown twice. */
export function uid(prefix: string): string {
  unique += 1;
  return `wb-${prefix}-${unique}-${Math.random().toString(36).slice(2, 8)}`;
}

type Listeners = { [K in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[K]) => void } & {
  [type: string]: ((event: never) => void) | undefined;
};

/** Listen to events of something, each by its type; return what ends it. */
export function on(target: EventTarget, listeners: Listeners, options?: AddEventListenerOptions): () => void {
  const all = Object.entries(listeners) as [string, EventListener][];
  for (const [type, listener] of all) target.addEventListener(type, listener, options);
  return () => {
    for (const [type, listener] of all) target.removeEventListener(type, listener);
  };
}
