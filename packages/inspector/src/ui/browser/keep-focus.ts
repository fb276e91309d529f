const CAN_HAVE_FOCUS = 'a[href], button, input, select, textarea, [tabindex]'

/** What has the focus, with what was around it when it got it. */
interface Held {
  readonly element: Element
  /** From its parent up. */
  readonly ancestors: readonly Element[]
  /** All that Tab comes to, in its order. */
  readonly order: readonly HTMLElement[]
}

/**
 * Moves the focus on when the element that has it leaves the page: to what came after it in the nearest part that is still
 * there, else to what came before it. The browser would drop the focus, and keyboard users would start from the top.
 */
export function keepFocus(): void {
  let held: Held | null = null
  document.addEventListener('focusin', ({ target }) => (held = around(target as Element)))
  document.addEventListener('focusout', () => {
    const left = held
    // An element that is about to be removed loses the focus first, as if the user had left it. The observer comes before this.
    setTimeout(() => {
      if (held === left && document.activeElement === document.body) held = null
    })
  })
  new MutationObserver(() => {
    if (held === null || held.element.isConnected || document.activeElement !== document.body) return
    const next = nextTo(held)
    held = null
    next?.focus()
  }).observe(document.body, { childList: true, subtree: true })
}

function around(element: Element): Held {
  const ancestors: Element[] = []
  for (let up = element.parentElement; up !== null; up = up.parentElement) ancestors.push(up)
  const order = [...document.querySelectorAll<HTMLElement>(CAN_HAVE_FOCUS)].filter(({ tabIndex }) => tabIndex >= 0)
  return { element, ancestors, order }
}

function nextTo({ element, ancestors, order }: Held): HTMLElement | undefined {
  const at = order.indexOf(element as HTMLElement)
  const byPreference = [...order.slice(at + 1), ...order.slice(0, Math.max(0, at)).reverse()].filter(canHaveFocus)
  for (const part of ancestors) {
    const within = part.isConnected ? byPreference.find((one) => part.contains(one)) : undefined
    if (within !== undefined) return within
  }
  return undefined
}

/** It may have been removed, hidden or taken out of Tab's way since. */
function canHaveFocus(element: HTMLElement): boolean {
  return element.tabIndex >= 0 && element.checkVisibility()
}
