/** Prints what the client costs a page. Usage, after `npm run build`: tsx scripts/size.ts */
import { readFileSync } from 'node:fs'
import { brotliCompressSync, gzipSync } from 'node:zlib'

const bundle = readFileSync(new URL('../packages/client/dist/tidewire.js', import.meta.url))
const sizes = { minified: bundle, gzip: gzipSync(bundle, { level: 9 }), brotli: brotliCompressSync(bundle) }
for (const [name, bytes] of Object.entries(sizes)) console.log(`${name.padEnd(9)}${bytes.length.toLocaleString('en').padStart(8)} B`)
