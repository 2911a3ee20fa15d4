/** The script of a stand-alone page: one widget and its state, from a file that is opened from disk. */

import { PageModel } from "./model";

interface Page {
  esm: string;
  state: Record<string, unknown>;
  buffers: { path: (string | number)[]; data: string }[];
}

interface Widget {
  initialize?: (context: object) => unknown;
  render: (context: object) => unknown;
}

async function show(): Promise<void> {
  const page = JSON.parse(document.getElementById("workbench-page")!.textContent ?? "") as Page;
  const model = new PageModel(page.state, page.buffers);
  // A module's text can be imported without a server only through a blob.
  const url = URL.createObjectURL(new Blob([page.esm], { type: "text/javascript" }));
  const module = (await import(url)) as { default: Widget | (() => Widget) };
  URL.revokeObjectURL(url);
  const widget = typeof module.default === "function" ? module.default() : module.default;
  await widget.initialize?.({ model });
  await widget.render({ model, el: document.getElementById("workbench-widget")! });
}

show().catch((error: unknown) => {
  document.getElementById("workbench-widget")!.textContent = `This page could not be shown: ${String(error)}`;
});
