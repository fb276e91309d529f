/** Makes what the packages publish beside the output of `tsc -b`. Usage, after `tsc -b`: tsx scripts/bundle.ts */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build, type BuildOptions } from 'esbuild'
import { copyDeclarations } from './publish/declarations.ts'
import { forTheWeb, sources } from './publish/sources.ts'

const packages = new URL('../packages/', import.meta.url)
const pathOf = (path: string): string => fileURLToPath(new URL(path, packages))
const { version } = JSON.parse(readFileSync(pathOf('client/package.json'), 'utf8')) as { version: string }

/** What programs import is readable as it is; only the file for pages is minified, and has a map. */
const common: BuildOptions = { bundle: true, target: 'es2022', legalComments: 'none', logLevel: 'warning' }
/** The platform `node` makes esbuild list the names, so that `import` finds them in a CommonJS module. */
const formats = { esm: { format: 'esm' }, cjs: { format: 'cjs', platform: 'node' } } as const satisfies Record<string, BuildOptions>

const clientOptions: BuildOptions = { ...common, entryPoints: [pathOf('client/src/index.ts')], alias: sources, external: ['ws'] }

for (const [folder, format] of Object.entries(formats)) {
  await build({ ...clientOptions, ...format, outfile: pathOf(`client/dist/${folder}/node.js`) })
  await build({ ...clientOptions, ...format, outfile: pathOf(`client/dist/${folder}/web.js`), plugins: [forTheWeb] })
  copyDeclarations({
    entry: pathOf('client/dist/index.d.ts'),
    into: pathOf(`client/dist/${folder}/`),
    type: format.format,
    // So that whoever installs the client needs no second package to compile against it.
    inlined: { '@tidewire/protocol': pathOf('protocol/dist/index.d.ts') },
  })
  await build({
    ...common,
    ...format,
    entryPoints: [pathOf('react/src/index.ts')],
    outfile: pathOf(`react/dist/${folder}/index.js`),
    external: ['@tidewire/client', 'react'],
  })
  copyDeclarations({ entry: pathOf('react/dist/index.d.ts'), into: pathOf(`react/dist/${folder}/`), type: format.format })
}

await build({
  ...clientOptions,
  outfile: pathOf('client/dist/tidewire.js'),
  format: 'esm',
  minify: true,
  sourcemap: true,
  banner: { js: `/*! Tidewire client ${version}, MIT licence */` },
  plugins: [forTheWeb],
})
