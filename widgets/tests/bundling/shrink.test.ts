import { transformSync } from "esbuild";
import { describe, expect, it } from "vitest";
import { PRIVATE, shrink } from "../../shrink.mjs";

const SOURCE = `
export class Counter {
  #count = 0;
  readonly element = { colours: "red" };
  add(by: number): number {
    const later = () => { this.#count += by; this.#count += by; };
    later();
    function own(this: { other: number }) { return this.other; }
    class Inner { #count = 7; get count() { return this.#count + own.call({ other: 1 }); } }
    return this.#count + new Inner().count + (this.element.colours === "red" ? 100 : 0);
  }
}
export class Child extends Counter {
  #label: string;
  constructor() { super(); this.#label = "a"; this.#label += "b"; this.#label += "c"; this.#label += "d"; }
  text = () => { const parts = [this.#label, this.#label, this.#label, this.#label]; return parts.join(); };
}
`;

/** Run a source as it is built, shrunk or not. */
async function run(shrunk: boolean) {
  const text = shrunk ? shrink(SOURCE, "source.ts") : SOURCE;
  const { code } = transformSync(text, { loader: "ts", minify: true, ...(shrunk ? { mangleProps: PRIVATE } : {}) });
  const { Counter, Child } = await import(/* @vite-ignore */ `data:text/javascript,${encodeURIComponent(code)}`);
  return { code, results: [new Counter().add(2), new Counter().add(5), new Child().text(), new Child().add(1)] };
}

describe("the shrinking of sources", () => {
  it("changes nothing that can be seen but their length", async () => {
    const [plain, short] = [await run(false), await run(true)];
    expect(short.results).toEqual(plain.results);
    expect(short.results).toEqual([112, 118, "abcd,abcd,abcd,abcd", 110]);
    expect(short.code.length).toBeLessThan(plain.code.length);
  });

  it("leaves no private name, and none that it may rename", () => {
    const text = shrink(SOURCE, "source.ts");
    expect(text).not.toContain("#");
    expect(transformSync(text, { loader: "ts", mangleProps: PRIVATE }).code).not.toMatch(/private_|element|colours/);
  });

  it("says 'this' by another name only where a method says it often", () => {
    expect(shrink("class A { a() { return this.b; } }", "a.ts")).toBe("class A { a() { return this.b; } }");
    expect(shrink("class A { a() { return [this.b, this.c, this.d, this.e]; } }", "a.ts")).toBe(
      "class A { a() { const self = this; return [self.b, self.c, self.d, self.e]; } }",
    );
  });
});
