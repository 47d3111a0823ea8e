/** Values of a trip that don't fit their column, such as a zone of 1.5, as a JSON object; missing where all do. */
export const OTHER_VALUES = 'other_values';
