import { expect, it, vi } from "vitest";
import { PageModel, restoreBuffers } from "../../src/page/model";

it("puts buffers back where they were taken from", () => {
  const data = btoa(String.fromCharCode(...new Uint8Array(new Float32Array([1.5]).buffer)));
  const state = restoreBuffers({ table: { weight: { dtype: "float32" }, label: ["a"] } }, [
    { path: ["table", "weight", "data"], data },
  ]) as { table: { weight: { data: DataView } } };
  expect(state.table.weight.data.getFloat32(0, true)).toBe(1.5);
});

it("tells listeners of a change until they are taken off", () => {
  const model = new PageModel({ threshold: 0.8 });
  const changed = vi.fn();
  model.on("change:threshold", changed);
  model.set("threshold", 0.8);
  expect(changed).not.toHaveBeenCalled();
  model.set("threshold", 0.5);
  expect(model.get("threshold")).toBe(0.5);
  expect(changed).toHaveBeenCalledOnce();
  model.off("change:threshold", changed);
  model.set("threshold", 0.4);
  expect(changed).toHaveBeenCalledOnce();
});

it("answers every request with the reason why there is no answer", async () => {
  const model = new PageModel({});
  const heard = vi.fn();
  model.on("msg:custom", heard);
  model.send({ kind: "request", id: "a-1" });
  await Promise.resolve();
  expect(heard).toHaveBeenCalledWith(
    { kind: "reply", id: "a-1", error: expect.stringContaining("no kernel"), no_kernel: true },
    [],
  );
});
