import { render } from 'preact'
import { Inspector } from '../src/inspector.ts'
import { App } from '../src/ui/app.tsx'
import { applyTheme } from '../src/ui/browser/theme.ts'
import { scriptedLink } from './feed.ts'

applyTheme()
const inspector = new Inspector(() => Date.now())
inspector.connect(scriptedLink)
render(
  <App
    inspector={inspector}
    endpoint={`${location.origin}/realtime/v1`}
    anonKey={location.search.includes('demo') ? 'none' : null}
    leave={null}
  />,
  document.getElementById('page')!,
)
