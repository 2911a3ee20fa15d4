/** Hearing of what Python, or another view, changed. */

import type { AnyModel } from "@anywidget/types";

/** Call back with the name of a trait whenever one of those named changes; return what ends it. */
export function watchTraits<K extends string>(
  model: AnyModel,
  names: readonly K[],
  changed: (name: K) => void,
): () => void {
  const ends = names.map((name) => {
    const listener = () => changed(name);
    model.on(`change:${name}`, listener);
    return () => model.off(`change:${name}`, listener);
  });
  return () => {
    for (const end of ends) end();
  };
}

/**
 * Make a function that may be called any number of times and acts once, when the present task is over.
 *
 * Python sets several traits one after the other; what is drawn between them would contradict itself.
 */
export function atOnce(act: () => void): { (): void; cancel(): void } {
  let scheduled = false;
  let cancelled = false;
  const later = () => {
    if (scheduled) return;
    scheduled = true;
    queueMicrotask(() => {
      scheduled = false;
      if (!cancelled) act();
    });
  };
  return Object.assign(later, {
    cancel: () => {
      cancelled = true;
    },
  });
}
