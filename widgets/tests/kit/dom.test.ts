import { expect, it } from "vitest";
import { fill, h, uid } from "../../src/kit/dom";
import { Notice } from "../../src/kit/notice";

it("puts text in as text, whatever it says", () => {
  const evil = "<img src=x onerror=alert(1)>";
  const element = h("div", { title: evil }, evil, null, false, 0);
  expect(element.children.length).toBe(0);
  expect(element.textContent).toBe(`${evil}0`);
  fill(element, "next");
  expect(element.textContent).toBe("next");
});

it("gives every view ids of its own", () => expect(uid("list")).not.toBe(uid("list")));

it("shows a message until it is dismissed", () => {
  const notice = new Notice();
  expect(notice.element.hidden).toBe(true);
  notice.error("There is no node <b>x</b>.");
  expect(notice.element.hidden).toBe(false);
  expect(notice.element.getAttribute("role")).toBe("alert");
  expect(notice.element.querySelector("b")).toBeNull();
  expect(notice.element.textContent).toContain("There is no node <b>x</b>.");
  notice.element.querySelector("button")!.click();
  expect(notice.element.hidden).toBe(true);
});
