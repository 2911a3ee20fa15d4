import { expect, it } from "vitest";
import { Newest } from "../../src/kit/newest";

it("runs the first and the last of a hundred quick inputs, one at a time", async () => {
  const ran: number[] = [];
  let inside = 0;
  const newest = new Newest<number>(async (input) => {
    inside += 1;
    expect(inside).toBe(1);
    await Promise.resolve();
    ran.push(input);
    inside -= 1;
  });
  for (let input = 0; input < 100; input += 1) newest.submit(input);
  expect(newest.busy).toBe(true);
  await expect.poll(() => newest.busy).toBe(false);
  expect(ran).toEqual([0, 99]);
});
