/**
 * Bundles the client, protocol included, into one ES module each for browsers (`dist/tidewire.js`) and for Node
 * (`dist/tidewire.node.js`, which loads the package `ws` where there is no WebSocket). With `--modules` it also prints what
 * each source file adds. Usage: tsx scripts/bundle.ts [--modules]
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { analyzeMetafile, build, type Plugin } from 'esbuild'
import { madeNames, shortNames } from './bundle/short-names.ts'

const packages = new URL('../packages/', import.meta.url)
const pathOf = (path: string): string => fileURLToPath(new URL(path, packages))
const { version } = JSON.parse(readFileSync(pathOf('client/package.json'), 'utf8')) as { version: string }

/** The protocol from its sources, and in browsers the WebSocket that they have. */
function sources(platform: 'browser' | 'node'): Plugin {
  return {
    name: 'sources',
    setup(bundle) {
      bundle.onResolve({ filter: /^@tidewire\/protocol$/ }, () => ({ path: pathOf('protocol/src/index.ts'), sideEffects: false }))
      if (platform === 'browser')
        bundle.onResolve({ filter: /\/node-websocket\.ts$/ }, () => ({ path: pathOf('client/src/io/web-websocket.ts') }))
    },
  }
}

for (const platform of ['browser', 'node'] as const) {
  const outfile = pathOf(`client/dist/tidewire${platform === 'node' ? '.node' : ''}.js`)
  const { metafile } = await build({
    entryPoints: [pathOf('client/src/index.ts')],
    outfile,
    bundle: true,
    format: 'esm',
    platform,
    external: ['ws'],
    target: 'es2020',
    minify: true,
    mangleProps: madeNames,
    // Fields are assigned, not defined: a definition is a call below ES2022.
    tsconfigRaw: { compilerOptions: { useDefineForClassFields: false, verbatimModuleSyntax: true } },
    sourcemap: true,
    sourcesContent: false,
    metafile: true,
    legalComments: 'none',
    banner: { js: `/*! Tidewire client ${version}, MIT licence */` },
    plugins: [sources(platform), shortNames],
    logLevel: 'warning',
  })
  writeSourcesInto(`${outfile}.map`)
  if (process.argv.includes('--modules')) console.log(await analyzeMetafile(metafile))
}

/** The sources as they were written, not as they were bundled. */
function writeSourcesInto(path: string): void {
  const map = JSON.parse(readFileSync(path, 'utf8')) as { readonly sources: readonly string[] }
  const sourcesContent = map.sources.map((source) => readFileSync(pathOf(`client/dist/${source}`), 'utf8'))
  writeFileSync(path, JSON.stringify({ ...map, sourcesContent }))
}
