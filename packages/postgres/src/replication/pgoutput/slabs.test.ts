import { expect, test } from 'vitest'
import fc from 'fast-check'
import { Slabs } from './slabs.ts'

test('no two share a byte, and little of a slab stays empty', () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 20_000 }), { maxLength: 200 }), (sizes) => {
      const memory = new Slabs()
      const taken = sizes.map((bytes, index) => {
        const { slab, start } = memory.take(bytes)
        slab.fill(index % 251, start, start + bytes)
        return { slab, start, bytes }
      })
      for (const [index, { slab, start, bytes }] of taken.entries())
        expect(slab.subarray(start, start + bytes).equals(Buffer.alloc(bytes, index % 251))).toBe(true)
      const reserved = [...new Set(taken.map(({ slab }) => slab))].reduce((sum, { length }) => sum + length, 0)
      const used = sizes.reduce((sum, bytes) => sum + bytes, 0)
      expect(reserved).toBeLessThanOrEqual(used * (8 / 7) + 64 * 1024)
    }),
  )
})
