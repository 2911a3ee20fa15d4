import type { Plugin } from "esbuild";

export const PRIVATE: RegExp;
export function shrink(text: string, path: string): string;
export const plugin: Plugin;
