import type { Inspector } from '../../inspector.ts'

/** Copies a text, then shows the sentence `said`, or why it could not. */
export async function copy(inspector: Inspector, text: string, said: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text)
    inspector.notify(said)
  } catch {
    inspector.notify('The browser did not let this page copy. Select the text and copy it by hand.')
  }
}

export const COPIED_AS_CODE = 'The row is copied as code.'
