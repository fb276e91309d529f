import { describe, expect, test } from 'vitest'
import { checkUpgrade, type UpgradeConditions } from './upgrade-check.ts'

const claims = { role: 'anon' }
const admission = { token: 'good', identity: { role: 'anon', claims, headers: {} }, expiresAtMs: 1 }
const adminKey = { ok: true, claims: { role: 'admin' }, expiresAtMs: 1 } as const

const quiet: UpgradeConditions = {
  draining: false,
  examine: () => Promise.resolve(admission),
  checkAdminKey: () => undefined,
  allowUser: () => true,
  allowUpgrade: () => true,
}
const badSignature = (): Promise<{ refusal: { code: 'signature' } }> => Promise.resolve({ refusal: { code: 'signature' } })

describe('an upgrade', () => {
  test.each<[code: string, status: number, conditions: Partial<UpgradeConditions>, apiKey?: string]>([
    ['restarting', 503, { draining: true }],
    ['token-missing', 401, {}, ''],
    ['token-signature', 401, { examine: badSignature }],
    ['token-claim', 500, { examine: () => Promise.resolve({ refusal: { code: 'claim', claim: 'iss' } }) }],
    ['too-many-users', 429, { allowUser: () => false }],
    ['too-many-joins', 429, { allowUpgrade: () => false }],
  ])('is refused: %s with %i', async (code, status, conditions, apiKey = 'good') => {
    expect(await checkUpgrade(apiKey, { ...quiet, ...conditions })).toMatchObject({ ok: false, code, status })
  })

  test('with a good key has its claims', async () => {
    expect(await checkUpgrade('good', quiet)).toEqual({ ok: true, token: 'good', claims })
  })

  test('with an admin key is admitted over the limit of users, and asks only where the signature is another', async () => {
    const full = { ...quiet, allowUser: () => false, checkAdminKey: () => Promise.resolve(adminKey) }
    expect(await checkUpgrade('admin', { ...full, examine: badSignature })).toEqual({ ok: true, token: 'admin', claims: adminKey.claims })
    expect(await checkUpgrade('good', full)).toMatchObject({ code: 'too-many-users' })
    const expired = (): ReturnType<UpgradeConditions['examine']> => Promise.resolve({ refusal: { code: 'expired', secondsAgo: 1 } })
    expect(await checkUpgrade('late', { ...full, examine: expired })).toMatchObject({ code: 'token-expired' })
  })

  test('with an admin key that expired says so', async () => {
    const late = { ok: false, code: 'admin-key-expired', reason: 'AdminKeyExpired: …' } as const
    const conditions = { ...quiet, examine: badSignature, checkAdminKey: () => Promise.resolve(late) }
    expect(await checkUpgrade('admin', conditions)).toEqual({
      ok: false,
      status: 401,
      text: 'Token has expired',
      code: 'admin-key-expired',
    })
  })

  test('counts towards the rate when nothing else refuses it', async () => {
    let counted = 0
    const counting = { ...quiet, allowUpgrade: () => ++counted > 0 }
    await checkUpgrade('good', { ...counting, draining: true })
    await checkUpgrade('', counting)
    await checkUpgrade('good', { ...counting, allowUser: () => false })
    expect(counted).toBe(0)
    await checkUpgrade('good', counting)
    expect(counted).toBe(1)
  })
})
