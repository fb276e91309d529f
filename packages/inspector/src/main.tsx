import { render } from 'preact'
import { Inspector } from './inspector.ts'
import { Entrance } from './ui/entrance.tsx'
import { applyTheme } from './ui/theme.ts'

applyTheme()
render(<Entrance inspector={new Inspector(() => Date.now())} />, document.getElementById('page')!)
