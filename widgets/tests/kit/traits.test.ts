import { describe, expect, it, vi } from "vitest";
import { StandingNotice } from "../../src/kit/standing";
import { atOnce, watchTraits } from "../../src/kit/traits";
import { FakeModel } from "../graph-explorer/graphs";

describe("the traits of a widget", () => {
  it("are heard of by their names, until that ends", () => {
    const model = new FakeModel({ a: 1, b: 1, c: 1 });
    const changed = vi.fn();
    const end = watchTraits(model as never, ["a", "b"], changed);
    for (const name of ["b", "a", "c"]) model.set(name, 2);
    expect(changed.mock.calls).toEqual([["b"], ["a"]]);
    end();
    model.set("a", 3);
    expect(changed).toHaveBeenCalledTimes(2);
  });

  it("are drawn once when several change in one go, and not after the view is gone", async () => {
    const draw = vi.fn();
    const soon = atOnce(draw);
    soon();
    soon();
    expect(draw).not.toHaveBeenCalled();
    await Promise.resolve();
    expect(draw).toHaveBeenCalledTimes(1);
    soon();
    soon.cancel();
    await Promise.resolve();
    expect(draw).toHaveBeenCalledTimes(1);
  });
});

it("a notice that was dismissed comes back when something else is said, or the same anew", () => {
  const notice = new StandingNotice();
  const dismiss = () => notice.element.querySelector("button")!.click();
  notice.say("", "It failed.");
  expect(notice.element.textContent).toContain("It failed.");
  dismiss();
  notice.say("", "It failed.");
  expect(notice.element.hidden).toBe(true);
  notice.forget();
  notice.say("", "It failed.");
  expect(notice.element.hidden).toBe(false);
  notice.say("There is no kernel.", "");
  expect(notice.element.dataset.kind).toBe("info");
  notice.say("", "");
  expect(notice.element.hidden).toBe(true);
});
