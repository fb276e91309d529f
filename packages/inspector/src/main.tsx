import { render } from 'preact'
import { Inspector } from './inspector.ts'
import { drawInTasks } from './ui/browser/drawing.ts'
import { Entrance } from './ui/entrance.tsx'
import { applyTheme } from './ui/browser/theme.ts'

drawInTasks()
applyTheme()
render(<Entrance inspector={new Inspector(() => Date.now())} />, document.getElementById('page')!)
