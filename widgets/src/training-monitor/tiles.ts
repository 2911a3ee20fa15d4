/** The numbers of the moment, each with its course. */

import { fill, h } from "../kit/dom";
import { percent, plain } from "../kit/format";
import { path, svg } from "../kit/svg";
import { type About, type Course, duration, type Phase, ratePhase, type Scalar, secondsLeft, smooth } from "./state";

const [WIDTH, HEIGHT] = [100, 24];

class Tile {
  readonly element: HTMLElement;
  readonly #value = h("dd");
  readonly #note = h("span", "wb-muted");
  readonly #line = svg("path", {});

  constructor(name: string, testid: string) {
    const drawing = svg(
      "svg",
      { viewBox: `0 -1 ${WIDTH} ${HEIGHT + 2}`, preserveAspectRatio: "none", "aria-hidden": "true" },
      this.#line,
    );
    this.element = h(
      "div",
      { class: "monitor-tile", testid: testid },
      h("dt", {}, name),
      this.#value,
      // A list of terms holds nothing but terms and what is said of them.
      h("dd", "monitor-more", this.#note, drawing as unknown as Node),
    );
  }

  show(value: string, note = "", course: ArrayLike<number> = []): void {
    fill(this.#value, value);
    fill(this.#note, note);
    const shown = Array.from(course).filter(Number.isFinite);
    const [low, high] = [Math.min(...shown), Math.max(...shown)];
    const span = high - low || 1;
    const xs = Array.from(course, (_, i) => (WIDTH * i) / Math.max(1, course.length - 1));
    this.#line.setAttribute(
      "d",
      course.length > 1
        ? path(
            xs,
            Array.from(course, (y) => HEIGHT * (1 - (y - low) / span)),
          )
        : "",
    );
  }
}

/** Return tokens a second without digits that mean nothing. */
const speed = (value: number) => (Number.isFinite(value) ? Math.round(value).toLocaleString("en") : "–");

/** Return a learning rate, of which two digits count. */
const rate = (value: number) => (Number.isFinite(value) ? String(Number(value.toPrecision(2))) : "–");

export class Tiles {
  readonly element: HTMLElement;
  readonly #fvu = new Tile("FVU", "fvu");
  readonly #l0 = new Tile("L0 a layer", "l0");
  readonly #dead = new Tile("dead features", "dead");
  readonly #speed = new Tile("tokens/s", "speed");
  readonly #left = new Tile("time left", "left");
  readonly #rate = new Tile("learning rate", "rate");

  constructor() {
    const tiles = [this.#fvu, this.#l0, this.#dead, this.#rate, this.#speed, this.#left];
    this.element = h("dl", "monitor-tiles", ...tiles.map((tile) => tile.element));
  }

  show(course: Course, about: About, phase: Phase): void {
    const column = (name: Scalar) => course.column(name);
    const fvu = smooth(column("fvu"));
    const step = course.last("step");
    const over = phase === "finished";
    this.#fvu.show(plain(fvu.at(-1) ?? Number.NaN), "variance unexplained", fvu);
    this.#l0.show(plain(course.last("l0")), `k is ${about.k}`, column("l0"));
    this.#dead.show(percent(course.last("dead")), "of all features", column("dead"));
    this.#rate.show(rate(course.last("lr")), course.length && !over ? ratePhase(about, step) : "", column("lr"));
    this.#speed.show(speed(course.last("tokens_per_s")), "mean of this sitting", column("tokens_per_s"));
    const took = `${duration(course.last("seconds"))} so far`;
    if (over) this.#left.show("none", course.length ? `${duration(course.last("seconds"))} in all` : "");
    else this.#left.show(duration(secondsLeft(course, about.steps)), course.length ? took : "");
  }
}
