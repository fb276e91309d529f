/** React Native's `AppState`, as far as it is used. */
export interface AppStateLike {
  addEventListener(type: 'change', listener: (state: string) => void): { remove(): void }
}

/**
 * Wakes a client when its app comes to the foreground: sockets die in the background without an event.
 * Returns the function that stops it: `useEffect(() => wakeWithApp(client, AppState), [])`.
 */
export function wakeWithApp(client: { wake(): void }, appState: AppStateLike): () => void {
  const subscription = appState.addEventListener('change', (state) => {
    if (state === 'active') client.wake()
  })
  return () => subscription.remove()
}
