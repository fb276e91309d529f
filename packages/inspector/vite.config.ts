import { fileURLToPath } from 'node:url'
import { defineConfig, type Plugin } from 'vite'

/** Where the CLI looks for the page. */
const pages = fileURLToPath(new URL('../cli/pages/', import.meta.url))

/** Puts the script and the styles into the page itself: one file, whose one script a policy can name by its hash. */
const oneFile: Plugin = {
  name: 'one-file',
  enforce: 'post',
  generateBundle(_options, bundle) {
    const page = bundle['inspector.html']
    if (page?.type !== 'asset') return this.error('inspector.html was not built')
    let html = String(page.source)
    for (const [name, output] of Object.entries(bundle)) {
      if (output === page) continue
      const isScript = output.type === 'chunk'
      const text = isScript ? output.code : String(output.source)
      // What would end the element early is written so that it means the same and does not.
      const inlined = isScript
        ? `<script type="module">${text.trim().replaceAll('</script', '<\\/script').replaceAll('<!--', '<\\!--')}</script>`
        : `<style>${text.trim()}</style>`
      const tag = isScript ? /<script type="module"[^>]*><\/script>/ : /<link rel="stylesheet" [^>]*href="[^"]*\.css">/
      if (!tag.test(html)) return this.error(`${name} has no place in the page`)
      html = isScript ? html.replace(tag, '').replace('</body>', () => `${inlined}\n  </body>`) : html.replace(tag, () => inlined)
      delete bundle[name]
    }
    page.source = html
  },
}

export default defineConfig(({ command }) => ({
  root: fileURLToPath(new URL('.', import.meta.url)),
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  // A feed that needs no server, for work on the page: `npx vite packages/inspector`, then /dev/feed.html.
  ...(command === 'serve' ? { server: { host: '127.0.0.1' } } : {}),
  plugins: [oneFile],
  build: {
    outDir: pages,
    emptyOutDir: false,
    target: ['chrome123', 'firefox128', 'safari17.5'],
    modulePreload: { polyfill: false },
    assetsInlineLimit: 1_000_000,
    rolldownOptions: { input: fileURLToPath(new URL('inspector.html', import.meta.url)) },
    reportCompressedSize: false,
  },
}))
