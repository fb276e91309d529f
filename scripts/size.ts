/** Prints what the client costs a page: all of it (`import * as all`), as a bundler takes it for ES2020. Usage, after `npm run build`: tsx scripts/size.ts */
import { fileURLToPath } from 'node:url'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { buildSync } from 'esbuild'

const bundled = fileURLToPath(new URL('../packages/client/dist/tidewire.js', import.meta.url))
const { outputFiles } = buildSync({
  entryPoints: [bundled],
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2020',
  legalComments: 'none',
  write: false,
})
const minified = outputFiles[0]!.contents
const sizes = { minified, gzip: gzipSync(minified, { level: 9 }), brotli: brotliCompressSync(minified) }
for (const [name, bytes] of Object.entries(sizes)) print(name, bytes.length)

function print(name: string, bytes: number): void {
  console.log(`${name.padEnd(9)}${bytes.toLocaleString('en').padStart(8)} B`)
}
