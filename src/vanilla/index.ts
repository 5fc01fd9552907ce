export { type BindOptions, bind } from './bind'
export { mount } from './mount'
