import type { AnyModel } from "@anywidget/types";
import { describe, expect, it, vi } from "vitest";
import { NoKernel, RequestError, Requests, Superseded } from "../../src/kit/requests";

/** A model whose other end is the test. */
function wire() {
  const sent: { id: string; method: string; params: object }[] = [];
  const listeners = new Set<(message: unknown, buffers: DataView[]) => void>();
  const model = {
    on: (_: string, listener: never) => listeners.add(listener),
    off: (_: string, listener: never) => listeners.delete(listener),
    send: (message: never) => sent.push(message),
  } as unknown as AnyModel;
  const reply = (message: object, buffers: DataView[] = []) => {
    for (const listener of listeners) listener({ kind: "reply", ...message }, buffers);
  };
  return { model, sent, listeners, reply };
}

describe("Requests", () => {
  it("gives each reply to the request with its id, in whatever order they come", async () => {
    const { model, sent, reply } = wire();
    const requests = new Requests(model);
    const first = requests.ask<string>("connections", { node: "f/1/2/3" });
    const second = requests.ask<string>("connections", { node: "f/4/5/6" });
    expect(sent.map(({ method, params }) => ({ method, params }))).toEqual([
      { method: "connections", params: { node: "f/1/2/3" } },
      { method: "connections", params: { node: "f/4/5/6" } },
    ]);
    const buffer = new DataView(new ArrayBuffer(4));
    reply({ id: sent[1]!.id, result: "second" }, [buffer]);
    reply({ id: sent[0]!.id, result: "first" });
    expect((await first).result).toBe("first");
    expect(await second).toEqual({ result: "second", buffers: [buffer] });
  });

  it("rejects with Python's words when Python failed", async () => {
    const { model, sent, reply } = wire();
    const asked = new Requests(model).ask("connections");
    reply({ id: sent[0]!.id, error: "There is no node 'x'." });
    await expect(asked).rejects.toThrow(new RequestError("There is no node 'x'."));
  });

  it("rejects quietly what a newer request replaced", async () => {
    const { model, sent, reply } = wire();
    const asked = new Requests(model).ask("connections");
    reply({ id: sent[0]!.id, superseded: true });
    await expect(asked).rejects.toBeInstanceOf(Superseded);
  });

  it("leaves the replies to another view of the same widget alone", async () => {
    const { model, sent, reply } = wire();
    const [one, other] = [new Requests(model), new Requests(model)];
    const asked = one.ask<number>("count");
    void other.ask("count").catch(() => {});
    expect(sent[0]!.id).not.toBe(sent[1]!.id);
    reply({ id: sent[0]!.id, result: 1 });
    expect((await asked).result).toBe(1);
  });

  it("says at once that the kernel is gone", async () => {
    const { model, sent } = wire();
    await expect(new Requests(model, () => false).ask("count")).rejects.toThrow("run its cell again");
    expect(sent).toEqual([]);
  });

  it("waits no longer for a kernel that went away", async () => {
    const { model, sent, reply } = wire();
    const requests = new Requests(model);
    const asked = requests.ask("count");
    requests.lost();
    await expect(asked).rejects.toBeInstanceOf(NoKernel);
    // An answer that comes all the same has nobody to go to.
    reply({ id: sent[0]!.id, result: 1 });
  });

  it("tells when an answer is slow, and not when it came in time", async () => {
    vi.useFakeTimers();
    const { model, sent, reply } = wire();
    const requests = new Requests(model);
    const onSlow = vi.fn();
    const asked = requests.ask("count", {}, { onSlow, slowAfter: 1000 });
    vi.advanceTimersByTime(999);
    expect(onSlow).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(onSlow).toHaveBeenCalledOnce();
    reply({ id: sent[0]!.id, result: 0 });
    await asked;
    const quick = requests.ask("count", {}, { onSlow, slowAfter: 1000 });
    reply({ id: sent[1]!.id, result: 0 });
    await quick;
    vi.advanceTimersByTime(5000);
    expect(onSlow).toHaveBeenCalledOnce();
    vi.useRealTimers();
  });

  it("stops listening and lets go of what waits when the view is closed", async () => {
    const { model, listeners } = wire();
    const requests = new Requests(model);
    const asked = requests.ask("count");
    requests.dispose();
    await expect(asked).rejects.toBeInstanceOf(Superseded);
    expect(listeners.size).toBe(0);
  });
});
