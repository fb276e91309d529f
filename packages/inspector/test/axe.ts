import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { Page } from 'playwright-core'

/** What axe-core says of one rule, as far as it is looked at here. */
interface Finding {
  readonly id: string
  readonly impact: 'minor' | 'moderate' | 'serious' | 'critical'
  readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[]
}

const source = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

/** What axe-core finds wrong with the page as it is now, an entry for each element. */
export function axeFindings(page: Page, about: string): Promise<readonly string[]> {
  return run(page, about, {})
}

/** The same of the dark theme, in which nothing is different but the colours. */
export async function axeFindingsInTheDark(page: Page, about: string): Promise<readonly string[]> {
  await page.emulateMedia({ colorScheme: 'dark' })
  const found = await run(page, `${about}, dark`, { runOnly: ['color-contrast'] })
  await page.emulateMedia({ colorScheme: 'light' })
  return found
}

async function run(page: Page, about: string, options: object): Promise<readonly string[]> {
  // Evaluated, not added as a script: those the policy of the page would refuse, and rightly.
  await page.evaluate(source)
  const findings = await page.evaluate(async (chosen) => {
    const { axe } = globalThis as unknown as {
      readonly axe: { run(options: object): Promise<{ readonly violations: readonly Finding[] }> }
    }
    return (await axe.run({ ...chosen, resultTypes: ['violations'] })).violations
  }, options)
  return findings.flatMap(({ id, impact, nodes }) =>
    nodes.map(
      ({ html, failureSummary }) => `${about}: ${impact} ${id}: ${html.slice(0, 200)}\n  ${failureSummary.replaceAll(/\s+/g, ' ')}`,
    ),
  )
}
