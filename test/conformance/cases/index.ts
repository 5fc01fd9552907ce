/** WHATWG HTML, section 9.2, as a table: each case is something that it fixes for `EventSource`. */
import type { Case } from '../case'
import { connection } from './connection'
import { format } from './format'
import { interfaces } from './interface'
import { resuming } from './resuming'

export const cases: readonly Case[] = [...interfaces, ...connection, ...resuming, ...format]
