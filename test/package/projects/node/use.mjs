import * as millrace from 'millrace'
import { use } from './use.cjs'

await use(millrace, process.argv[2])
