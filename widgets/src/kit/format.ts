/** Numbers as a reader wants them. */

/** Return a number with a sign and three significant digits; a true minus sign, so that columns align. */
export function signed(value: number): string {
  return `${value < 0 ? "−" : "+"}${plain(Math.abs(value))}`;
}

/** Return a number with three significant digits, without an exponent where that stays short. */
export function plain(value: number): string {
  if (!Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text =
    size >= 1e5 || size < 1e-3
      ? value.toExponential(1)
      : value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
  return text.replace("-", "−");
}

/** Return a share as a percentage: 12 %, 3.4 %, <0.1 %. */
export function percent(value: number): string {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value) * 100;
  if (size === 0) return "0 %";
  if (size < 0.1) return value < 0 ? ">−0.1 %" : "<0.1 %";
  return `${value < 0 ? "−" : ""}${size.toFixed(size < 10 ? 1 : 0)} %`;
}

/** Return a count with its noun: 1 node, 2,000 nodes. */
export function count(value: number, noun: string): string {
  return `${value.toLocaleString("en")} ${noun}${value === 1 ? "" : "s"}`;
}
