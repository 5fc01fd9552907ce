import { engines, withTabsInEachEngine } from '../engines/in-each-engine'
import { testSharing } from '../engines/sharing'

withTabsInEachEngine('tabs', testSharing, [engines[0]])
