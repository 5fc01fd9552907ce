import { testInBrowser } from '../conformance/in-browser'
import { inEachEngine } from './in-each-engine'

inEachEngine('conformance', (name, engine) => {
  testInBrowser(name, async (url) => (await engine().openPage(url)).evaluate)
})
