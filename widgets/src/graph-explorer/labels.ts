/** Names beside pinned nodes: as near as they can stand without covering each other. */

export interface Anchor {
  x: number;
  y: number;
  radius: number;
  /** Of the name's box. */
  width: number;
  height: number;
}

export interface Placed {
  left: number;
  top: number;
  width: number;
  height: number;
}

interface Bounds {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

const overlaps = (a: Placed, b: Placed, gap: number) =>
  a.left < b.left + b.width + gap &&
  b.left < a.left + a.width + gap &&
  a.top < b.top + b.height + gap &&
  b.top < a.top + a.height + gap;

/** The places to try, nearest first: beside the node, above and below it, and the same farther away. */
function* candidates({ x, y, radius, width, height }: Anchor): Generator<Placed> {
  for (const away of [5, 14, 26, 42, 62, 86]) {
    const far = radius + away;
    const spots: [number, number][] = [
      [x + far, y - height / 2],
      [x - far - width, y - height / 2],
      [x - width / 2, y - far - height],
      [x - width / 2, y + far],
      [x + far * 0.7, y - far * 0.7 - height],
      [x + far * 0.7, y + far * 0.7],
      [x - far * 0.7 - width, y - far * 0.7 - height],
      [x - far * 0.7 - width, y + far * 0.7],
    ];
    for (const [left, top] of spots) yield { left, top, width, height };
  }
}

/**
 * Place names in the order given; a name that finds no room within the bounds gets null, and only its pin is seen.
 * No name covers another one or the node of another one.
 */
export function placeLabels(anchors: Anchor[], bounds: Bounds): (Placed | null)[] {
  const nodes = anchors.map(({ x, y, radius }) => ({
    left: x - radius,
    top: y - radius,
    width: 2 * radius,
    height: 2 * radius,
  }));
  const taken: Placed[] = [];
  return anchors.map((anchor) => {
    for (const place of candidates(anchor)) {
      const inside =
        place.left >= bounds.left &&
        place.top >= bounds.top &&
        place.left + place.width <= bounds.right &&
        place.top + place.height <= bounds.bottom;
      if (!inside || taken.some((other) => overlaps(place, other, 3)) || nodes.some((node) => overlaps(place, node, 1)))
        continue;
      taken.push(place);
      return place;
    }
    return null;
  });
}
