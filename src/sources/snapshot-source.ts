export type * from './snapshot'
