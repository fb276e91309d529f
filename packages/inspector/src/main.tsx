import { render } from 'preact'
import { Inspector } from './inspector.ts'
import { drawInTasks } from './ui/browser/drawing.ts'
import { keepFocus } from './ui/browser/keep-focus.ts'
import { Entrance } from './ui/entrance.tsx'
import { applyTheme } from './ui/browser/theme.ts'

drawInTasks()
applyTheme()
keepFocus()
render(<Entrance inspector={new Inspector(() => Date.now())} />, document.getElementById('page')!)
