export { bind } from './bind'
export { mount } from './mount'
