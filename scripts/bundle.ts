/** Bundles the built client, protocol included, into one ES module for browsers. Usage, after `tsc -b`: tsx scripts/bundle.ts */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build, type Plugin } from 'esbuild'

const client = new URL('../packages/client/', import.meta.url)
const { version } = JSON.parse(readFileSync(new URL('package.json', client), 'utf8')) as { version: string }

// Browsers have a WebSocket of their own; the client asks for `ws` only where there is none.
const withoutWs: Plugin = {
  name: 'without-ws',
  setup(bundle) {
    bundle.onResolve({ filter: /^ws$/ }, () => ({ path: 'ws', namespace: 'empty' }))
    bundle.onLoad({ filter: /.*/, namespace: 'empty' }, () => ({ contents: 'export {}' }))
  },
}

await build({
  entryPoints: [fileURLToPath(new URL('dist/index.js', client))],
  outfile: fileURLToPath(new URL('dist/tidewire.js', client)),
  bundle: true,
  format: 'esm',
  platform: 'browser',
  target: 'es2022',
  minify: true,
  sourcemap: true,
  legalComments: 'none',
  banner: { js: `/*! Tidewire client ${version}, MIT licence */` },
  plugins: [withoutWs],
  logLevel: 'warning',
})
