export type * from './stream'
