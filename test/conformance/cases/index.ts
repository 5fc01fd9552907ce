/** WHATWG HTML, section 9.2, as a table: each case is something that it fixes for `EventSource`. */
import type { Case } from '../case'
import { format } from './format'

export const cases: readonly Case[] = [...format]
