import { describe, expect, it } from "vitest";
import { SvgContext } from "../../src/graph-explorer/svg-context";

/** What a browser's own context does for this one: it measures, and it knows colours. */
function canvas() {
  let style = "";
  return {
    font: "",
    get fillStyle() {
      return style.startsWith("color-mix") ? "color(srgb 1 0.5 0)" : style;
    },
    set fillStyle(colour: string) {
      style = colour;
    },
    measureText: (text: string) => ({ width: 7 * text.length }),
  } as unknown as CanvasRenderingContext2D;
}

describe("what is drawn", () => {
  it("becomes elements with the style of the moment", () => {
    const context = new SvgContext(canvas());
    context.fillStyle = "#123456";
    context.fillRect(1, 2, 3, 4);
    context.save();
    context.globalAlpha = 0.5;
    context.translate(10, 20);
    context.strokeStyle = "color-mix(in srgb, red 50%, yellow)";
    context.lineWidth = 2;
    context.beginPath();
    context.moveTo(0, 0);
    context.bezierCurveTo(1, 1, 2.001, 2, 3, 3);
    context.stroke();
    context.restore();
    context.fillRect(0, 0, 1, 1);
    const [first, path, last] = [...context.element.children];
    expect(first!.outerHTML).toContain('x="1" y="2" width="3" height="4" fill="#123456"');
    expect(path!.getAttribute("d")).toBe("M0 0C1 1 2 2 3 3");
    expect(path!.getAttribute("stroke")).toBe("rgb(255,128,0)");
    expect(path!.getAttribute("stroke-width")).toBe("2");
    expect(path!.getAttribute("opacity")).toBe("0.5");
    expect(path!.getAttribute("transform")).toBe("translate(10 20)");
    expect(last!.getAttribute("transform")).toBeNull();
    expect(last!.getAttribute("opacity")).toBeNull();
  });

  it("is text where it is text", () => {
    const context = new SvgContext(canvas());
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText('<script>alert("1")</script> & more', 5, 6);
    const text = context.element.firstElementChild!;
    expect(text.textContent).toBe('<script>alert("1")</script> & more');
    expect(text.childElementCount).toBe(0);
    expect(text.getAttribute("text-anchor")).toBe("middle");
    expect(text.getAttribute("dominant-baseline")).toBe("central");
  });

  it("is cut by what it was clipped to, until that is restored", () => {
    const context = new SvgContext(canvas());
    context.save();
    context.beginPath();
    context.rect(0, 0, 5, 5);
    context.clip();
    context.fillRect(0, 0, 9, 9);
    context.restore();
    context.fillRect(0, 0, 9, 9);
    const [clip, inside, outside] = [...context.element.children];
    expect(clip!.firstElementChild!.getAttribute("d")).toBe("M0 0h5v5h-5Z");
    expect(inside!.getAttribute("clip-path")).toBe(`url(#${clip!.id})`);
    expect(outside!.getAttribute("clip-path")).toBeNull();
  });
});
