import { options, render } from 'preact'
import { Inspector } from './inspector.ts'
import { Entrance } from './ui/entrance.tsx'
import { applyTheme } from './ui/theme.ts'

// Once a frame at most: what comes in meanwhile is drawn together, and looking through the log has a frame before that to itself.
options.debounceRendering = (draw) => requestAnimationFrame(draw)

applyTheme()
render(<Entrance inspector={new Inspector(() => Date.now())} />, document.getElementById('page')!)
