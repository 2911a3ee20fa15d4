/** Supernodes: named groups of nodes, each node in one at most. Every function returns new groups. */

export interface Group {
  name: string;
  ids: string[];
}

/** Return the group that a node is in. */
export function groupOf(groups: readonly Group[], id: string): Group | undefined {
  return groups.find((group) => group.ids.includes(id));
}

/** Return a name that no group has: the one given, or the same with a number. */
export function freeName(groups: readonly Group[], name: string): string {
  const taken = new Set(groups.map((group) => group.name));
  if (!taken.has(name)) return name;
  let number = 2;
  while (taken.has(`${name} (${number})`)) number += 1;
  return `${name} (${number})`;
}

/** Take nodes out of their groups; a group without nodes is no more. */
export function without(groups: readonly Group[], ids: readonly string[]): Group[] {
  const gone = new Set(ids);
  return groups
    .map((group) => ({ ...group, ids: group.ids.filter((id) => !gone.has(id)) }))
    .filter((group) => group.ids.length > 0);
}

/**
 * Put nodes together. Where one of them is in a group already, the others join that group: the first such node's.
 * Otherwise they are a new one.
 */
export function grouped(groups: readonly Group[], ids: readonly string[], name: string): Group[] {
  const joined = ids.map((id) => groupOf(groups, id)).find((group) => group !== undefined);
  const rest = without(
    groups,
    ids.filter((id) => !joined?.ids.includes(id)),
  );
  if (!joined) return [...rest, { name: freeName(rest, name), ids: [...new Set(ids)] }];
  return rest.map((group) =>
    group.name === joined.name ? { ...group, ids: [...new Set([...group.ids, ...ids])] } : group,
  );
}

/** Give a group another name; an empty one changes nothing. */
export function renamed(groups: readonly Group[], from: string, to: string): Group[] {
  const name = to.trim();
  if (name === "" || name === from) return [...groups];
  const others = groups.filter((group) => group.name !== from);
  return groups.map((group) => (group.name === from ? { ...group, name: freeName(others, name) } : group));
}
