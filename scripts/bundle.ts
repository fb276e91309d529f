/**
 * Makes what the client and the hooks publish beside the output of `tsc -b`. The client, protocol included, is one file for
 * each platform and each way to load it:
 *
 *   dist/tidewire.js, dist/tidewire.node.js   `import`; the first is also for pages. The second loads `ws` where there is no WebSocket
 *   dist/cjs/web.js, dist/cjs/node.js         `require`
 *   dist/types, dist/cjs                      declarations for either, the protocol's among them
 *
 * With `--modules` it also prints what each source file adds. Usage, after `tsc -b`: tsx scripts/bundle.ts [--modules]
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { analyzeMetafile, build, type BuildOptions, type Plugin } from 'esbuild'
import { madeNames, shortNames } from './bundle/short-names.ts'
import { copyDeclarations } from './publish/declarations.ts'

const packages = new URL('../packages/', import.meta.url)
const pathOf = (path: string): string => fileURLToPath(new URL(path, packages))
const { version } = JSON.parse(readFileSync(pathOf('client/package.json'), 'utf8')) as { version: string }

const esm: BuildOptions = { format: 'esm' }
/** The platform `node` makes esbuild list the names, so that `import` finds them in a CommonJS module. */
const cjs: BuildOptions = { format: 'cjs', platform: 'node' }

/** A page pays for each byte. */
const small: BuildOptions = {
  target: 'es2020',
  minify: true,
  mangleProps: madeNames,
  // Fields are assigned, not defined: a definition is a call below ES2022.
  tsconfigRaw: { compilerOptions: { useDefineForClassFields: false, verbatimModuleSyntax: true } },
}
/**
 * A server does not, and it writes logs: `#private` stays, so that no token shows in what inspects a client, and so do names and
 * lines, of which Node prints the one that threw. Not by `keepNames`, which is a call for each closure that a message makes.
 */
const asWritten: BuildOptions = { target: 'node20' }

// What was once written there must not be published for ever.
for (const folder of ['client/dist/types', 'client/dist/cjs', 'react/dist/esm', 'react/dist/cjs'])
  rmSync(pathOf(folder), { recursive: true, force: true })

await bundleClient('tidewire.js', 'web', esm)
await bundleClient('tidewire.node.js', 'node', esm)
await bundleClient('cjs/web.js', 'web', cjs)
await bundleClient('cjs/node.js', 'node', cjs)
for (const [folder, type] of [
  ['types', 'esm'],
  ['cjs', 'cjs'],
] as const)
  copyDeclarations({
    entry: pathOf('client/dist/index.d.ts'),
    into: pathOf(`client/dist/${folder}/`),
    type,
    // So that an app needs no second package to compile against the client.
    inlined: { '@tidewire/protocol': pathOf('protocol/dist/index.d.ts') },
  })

await bundleHooks('esm', esm)
await bundleHooks('cjs', cjs)

async function bundleClient(file: string, platform: 'web' | 'node', format: BuildOptions): Promise<void> {
  const outfile = pathOf(`client/dist/${file}`)
  const { metafile } = await build({
    ...format,
    entryPoints: [pathOf('client/src/index.ts')],
    outfile,
    bundle: true,
    external: ['ws'],
    ...(platform === 'web' ? small : asWritten),
    sourcemap: true,
    sourcesContent: false,
    metafile: true,
    legalComments: 'none',
    banner: { js: `/*! Tidewire client ${version}, MIT licence */` },
    plugins: [sources(platform), ...(platform === 'web' ? [shortNames] : [])],
    logLevel: 'warning',
  })
  writeSourcesInto(`${outfile}.map`)
  if (process.argv.includes('--modules')) console.log(await analyzeMetafile(metafile))
}

/** The protocol from its sources, and on the web the WebSocket that every platform but Node has. */
function sources(platform: 'web' | 'node'): Plugin {
  return {
    name: 'sources',
    setup(bundle) {
      bundle.onResolve({ filter: /^@tidewire\/protocol$/ }, () => ({ path: pathOf('protocol/src/index.ts'), sideEffects: false }))
      if (platform === 'web')
        bundle.onResolve({ filter: /\/node-websocket\.ts$/ }, () => ({ path: pathOf('client/src/io/web-websocket.ts') }))
    },
  }
}

/** The sources as they were written, not as they were bundled. */
function writeSourcesInto(path: string): void {
  const map = JSON.parse(readFileSync(path, 'utf8')) as { readonly sources: readonly string[] }
  const sourcesContent = map.sources.map((source) => readFileSync(resolve(dirname(path), source), 'utf8'))
  writeFileSync(path, JSON.stringify({ ...map, sourcesContent }))
}

async function bundleHooks(folder: string, format: BuildOptions): Promise<void> {
  await build({
    entryPoints: [pathOf('react/src/index.ts')],
    outfile: pathOf(`react/dist/${folder}/index.js`),
    bundle: true,
    external: ['@tidewire/client', 'react'],
    target: 'es2022',
    legalComments: 'none',
    logLevel: 'warning',
    ...format,
  })
  copyDeclarations({
    entry: pathOf('react/dist/index.d.ts'),
    into: pathOf(`react/dist/${folder}/`),
    type: format.format === 'cjs' ? 'cjs' : 'esm',
  })
}
