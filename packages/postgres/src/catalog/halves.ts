/** In their order. Of a single one, the first half is empty. */
export function halvesOf<T>(all: readonly T[]): readonly (readonly T[])[] {
  const middle = all.length >> 1
  return [all.slice(0, middle), all.slice(middle)]
}
