/** Lets the arrow keys, Home and End move between the elements of a list. */
export function moveFocus(event: KeyboardEvent & { readonly currentTarget: HTMLElement }, selector: string, axis: 'y' | 'x' = 'y'): void {
  const items = [...event.currentTarget.querySelectorAll<HTMLElement>(selector)]
  const [back, on] = axis === 'y' ? ['ArrowUp', 'ArrowDown'] : ['ArrowLeft', 'ArrowRight']
  const from = items.indexOf(document.activeElement as HTMLElement)
  const to =
    event.key === back ? from - 1 : event.key === on ? from + 1 : event.key === 'Home' ? 0 : event.key === 'End' ? items.length - 1 : null
  if (to === null || from < 0) return
  event.preventDefault()
  items[Math.max(0, Math.min(items.length - 1, to))]?.focus()
}
