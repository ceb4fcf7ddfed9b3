import { QueryType } from './queryType';

export const sloReport: QueryType<object> = {
  label: 'Objectives',
  description: 'What was promised, and what is left of the error budget.',
  defaults: {},
};
