import type { PageLifecycle } from '../runtime.ts'

/** `window` and `document`, as far as they are used; both are missing in Node and in workers. */
interface Page {
  addEventListener?(type: string, listener: (event: { readonly persisted?: boolean }) => void): void
  removeEventListener?(type: string, listener: (event: { readonly persisted?: boolean }) => void): void
}

/** Watches page and network. Returns the function that removes every listener. */
export function watchPageLifecycle(changed: (what: PageLifecycle) => void): () => void {
  const page = globalThis as Page
  const { document } = globalThis as { readonly document?: Page & { readonly visibilityState?: string } }
  const wake = (): void => changed('wake')
  const seen = (): void => {
    if (document?.visibilityState === 'visible') wake()
  }
  // Only a page that may come back is frozen; one that goes away needs nothing.
  const hidden = ({ persisted }: { readonly persisted?: boolean }): void => {
    if (persisted === true) changed('freeze')
  }
  const listeners = [
    [page, 'online', wake],
    [page, 'offline', wake],
    [page, 'pageshow', wake],
    [page, 'pagehide', hidden],
    [document, 'visibilitychange', seen],
  ] as const
  for (const [target, type, listener] of listeners) target?.addEventListener?.(type, listener)
  return () => {
    for (const [target, type, listener] of listeners) target?.removeEventListener?.(type, listener)
  }
}
