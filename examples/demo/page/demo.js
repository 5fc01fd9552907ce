import { showBoard } from './board.js'
import { createCounters } from './counters.js'
import { showCrawls } from './crawl.js'
import { showFaults } from './faults.js'
import { showLedger } from './ledger.js'
import { createMotion } from './motion.js'
import { createVitals } from './panel.js'
import { showRace } from './race.js'
import { showRunaway } from './runaway.js'
import { showScriptTag } from './script-tag.js'
import { showTabs } from './tabs.js'
import { showTicker } from './ticker.js'

const { configure, mount } = window.Millrace

// The page's own client: scripts that are loaded twice, and frameworks beside this one, share it.
const client = configure({ environment: 'development' })
const counters = createCounters(client)
const motion = createMotion()
const vitals = (panel) => createVitals(client, counters, panel)

showLedger(client)
showBoard(vitals('board'))
showTicker(vitals('ticker'), motion)
showCrawls(client, vitals('crawl'))
showRace(client, counters, motion)
showTabs(client)
showScriptTag()
showFaults(counters)
showRunaway(client, counters, motion)

// Brings to life what the page declares by `data-millrace` attributes.
mount()
