/** What can be taken out of the explorer: pictures, the graph as a file, and code that brings all this back. */

import { copy, download } from "../kit/clipboard";
import { h } from "../kit/dom";
import { messageOf } from "../kit/requests";
import { type Picture, toPng, toSvg } from "./picture";
import { Popup } from "./popup";
import type { State } from "./state";

export function makeExports(state: State, picture: () => Picture | null): Popup {
  const status = h("p", { class: "wb-muted", role: "status" });
  const name = () => {
    const { prompt } = state.graph.info;
    return (prompt.match(/[\p{L}\p{N}]+/gu) ?? []).slice(0, 6).join("-").slice(0, 60) || "graph";
  };
  const draw = async (type: string, make: (picture: Picture) => Blob | Promise<Blob>) => {
    const drawn = picture();
    if (!drawn) return "The graph is not drawn yet.";
    download(`${name()}.${type}`, await make(drawn));
    return `${name()}.${type} was saved.`;
  };
  const json = async () => {
    const { buffers } = await state.ask("schema1", {});
    download(`${name()}.json`, new Blob(buffers as BlobPart[], { type: "application/json" }));
    return `${name()}.json was saved.`;
  };
  const snippet = async () => {
    const { result } = await state.ask<string>("snippet", {});
    await copy(result);
    return "The code is in the clipboard.";
  };
  const item = (text: string, title: string, testid: string, act: () => Promise<string>) =>
    h(
      "button",
      {
        class: "wbx-menu-item",
        testid,
        onclick: () => {
          act().then(
            (done) => {
              status.textContent = done;
            },
            (error: unknown) => {
              status.textContent = `This did not work: ${messageOf(error)}`;
            },
          );
        },
      },
      h("b", {}, text),
      h("span", "wb-muted", title),
    );
  return new Popup(
    "Export",
    "export",
    "Export",
    "",
    item("PNG", "the whole graph as it is drawn", "export-png", () => draw("png", toPng)),
    item("SVG", "the same for drawing programs", "export-svg", () => draw("svg", toSvg)),
    item("JSON", "schema 1, with names, pins and supernodes", "export-json", json),
    item("Python", "copy code that brings this selection back", "export-python", snippet),
    status,
  );
}
