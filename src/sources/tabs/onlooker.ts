export { idleSink as onlooker } from '../stream'
